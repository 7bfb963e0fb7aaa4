"""Reports: run folders in, one page, table or figure out."""
