"""`wandb sync` of an offline run: W&B's own reader takes the file, and sends what the run has logged to a server."""

import csv
import gzip
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lit3d.config import compose
from lit3d.training import train

BUCKET = {"id": "r", "name": "n", "displayName": "n", "historyLineCount": 0, "config": "{}",
          "project": {"id": "p", "name": "lit3d", "entity": {"id": "e", "name": "me"}}}  # fmt: skip
ANSWERS = {
    "UpsertBucket": {"upsertBucket": {"bucket": BUCKET, "inserted": True}}, "RunResumeStatus": {"model": None},
    "CreateRunFiles": {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": []}},
}  # fmt: skip


@pytest.fixture
def server():
    """As much of W&B's server as a run without files needs; its address, and every (path, content) that came in."""
    came = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            data = self.rfile.read(int(self.headers["Content-Length"]))
            content = json.loads(gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data)
            came.append((self.path, content))
            asked = re.search(r"(?:query|mutation)\s+(\w+)", content.get("query", ""))
            answer = json.dumps({"data": ANSWERS.get(asked[1], {})} if asked else {}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}", came
    running.shutdown()
    running.server_close()


@pytest.mark.slow
def test_wandb_syncs_what_an_offline_run_has_logged(datasets, tmp_path, server):
    address, came = server
    run = tmp_path / "run"
    train(compose("run", [
        "debug=tiny", f"paths.data={datasets}", f"paths.output={run}", "logger=[csv,wandb]", "group=together",
        "callbacks.media=null", "callbacks.results.references=false",
    ]))  # fmt: skip
    assert not came  # offline
    (offline,) = run.glob("wandb/offline-run-*")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    environment |= {"WANDB_BASE_URL": address, "WANDB_API_KEY": "a" * 40, "WANDB_ERROR_REPORTING": "false"}
    environment |= {"HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
    command = [str(Path(sys.executable).with_name("wandb")), "sync", str(offline)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert "Finished syncing" in done.stdout + done.stderr

    made, *_, then = [c["variables"] for _, c in came if "mutation UpsertBucket" in c.get("query", "")]
    assert (made["displayName"], made["groupName"]) == ("pointset-cd-s0", "together")
    assert sorted(made["tags"]) == ["cd", "grammar", "pointset"]
    assert json.loads(then["config"])["trainer"]["value"]["max_steps"] == 6
    files = [c["files"] for path, c in came if path.endswith("/file_stream") and c.get("files")]
    lines = [json.loads(t) for f in files for t in f.get("wandb-history.jsonl", {}).get("content", [])]
    with (run / "metrics.csv").open() as stream:
        for row in csv.DictReader(stream):
            for name, value in row.items():
                if value and name not in ("step", "epoch"):
                    same = [x[name] for x in lines if name in x and x["trainer/global_step"] == int(row["step"])]
                    assert same == [pytest.approx(float(value))], (name, row["step"])
    summary = json.loads([f for f in files if "wandb-summary.json" in f][-1]["wandb-summary.json"]["content"][0])
    for name, score in json.loads((run / "results.json").read_text())["test"].items():
        assert summary[f"test/{name}"] == pytest.approx(score)
