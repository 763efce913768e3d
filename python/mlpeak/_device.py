"""The one device there is, under torch's names, so that scripts that ask for one run unchanged."""

from __future__ import annotations

__all__ = ["device"]


def check_device(device: object) -> None:
    """Refuse every device but the CPU; None stands for it."""
    if device is not None and str(device).partition(":")[0] != "cpu":
        raise ValueError(f"device is {str(device)!r}; mlpeak runs on 'cpu' only")


class device:
    """The CPU.

    Parameters
    ----------
    type : str or device
        ``"cpu"`` or ``"cpu:0"``.
    index : int, optional
        Has no meaning on a CPU.

    Raises
    ------
    ValueError
        If `type` names another device.
    """

    __slots__ = ("index", "type")

    def __init__(self, type: object, index: int | None = None) -> None:
        check_device(type)
        self.type = "cpu"
        self.index = index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device)

    def __hash__(self) -> int:
        return hash(self.type)

    def __str__(self) -> str:
        return self.type

    def __repr__(self) -> str:
        return "device(type='cpu')"


CPU = device("cpu")
