"""`python -m pacsnode.transcode`: see `program`."""

from pacsnode.transcode.program import main

if __name__ == "__main__":
    main()
