"""Program that adds jobs to the queue of `celery_app`; the argument is their number."""

import sys

from runtimes.programs.celery_app import job

for number in range(int(sys.argv[1])):
    job.delay(number)
