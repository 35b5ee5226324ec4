"""Many images: what there is to do, sharing it among processes, and doing it with disk and processor both at work."""

from .finding import left_out_line
from .planning import Job, Plan, Rules, check_free, check_writable, plan
from .running import run
from .sharing import Share, share_of, total
from .stopping import DiskFullError
from .working import Settings

__all__ = [
    "DiskFullError",
    "Job",
    "Plan",
    "Rules",
    "Settings",
    "Share",
    "check_free",
    "check_writable",
    "left_out_line",
    "plan",
    "run",
    "share_of",
    "total",
]
