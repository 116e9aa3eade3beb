"""``python -m critpath.cli``."""

from critpath.cli import main

if __name__ == "__main__":
    main(prog_name="critpath")
