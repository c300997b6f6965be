"""`python -m pacsnode` is the `pacsnode` command."""

from pacsnode.cli.main import run

if __name__ == "__main__":
    run()
