"""Durations and costs as text. A small figure is never shown as zero."""


def seconds_text(seconds: float) -> str:
    """Return a duration, such as `4.70 s`, `40 ms` or `<0.01 ms`."""
    if not 0 < seconds < 0.0995:  # 0.0995 s would be 1e+02 ms
        return f"{seconds:,.2f} s"
    milliseconds = seconds * 1_000
    return "<0.01 ms" if milliseconds < 0.01 else f"{milliseconds:.2g} ms"


def dollars_text(dollars: float, digits: int) -> str:
    """Return an amount with some digits after the point, such as `$0.0123`, `$0.0000` for nothing, or `<$0.0001`."""
    smallest = 10**-digits
    return f"<${smallest:.{digits}f}" if 0 < dollars < smallest else f"${dollars:,.{digits}f}"
