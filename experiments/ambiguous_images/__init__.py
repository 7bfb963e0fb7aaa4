"""Does a network average as its loss does? Images that leave one attribute open, with a known posterior."""
