"""Creation of folders that only their owner can use."""

import os
from contextlib import suppress


def create_private_folder(folder: str) -> None:
    """Create a folder and its missing parents, accessible to their owner only.

    Raises:
        OSError: A folder cannot be created.
    """
    missing = []
    while folder and not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for name in reversed(missing):  # os.makedirs would create the parents with the rights that the umask allows.
        with suppress(FileExistsError):
            os.mkdir(name, mode=0o700)
