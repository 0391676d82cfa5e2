"""One page a file: PATH, TITLE, CHARTS, and `page(run, view)`, a pure function of a run and an address."""
