"""`pymr start --on hosts` of the prepared job, with leases of a few seconds.

python tests/quick_master.py SECONDS STORE WORKERS
"""

from __future__ import annotations

import sys

import msgspec

from pymr.cli.settings import request_of, resolved_settings
from pymr.cli.view import View
from pymr.cluster.serve import serve_run
from pymr.cluster.start import reception_of, secrets_of, spec_of
from pymr.cluster.submit import submit_run
from pymr.runner.reach import access_with
from pymr.task.manifest import Manifest

FLAGS = {"on": "hosts", "join_file": "run.join", "name": "words", "mappers": "4", "reducers": "2"}


def main(lease_s: str, store: str, workers: str) -> int:
    """Plan the run, and be its master; return the exit code."""
    flags = {**FLAGS, "store": store, "output": f"{store}/out", "workers": workers}
    request = request_of("worker.py", ("in.txt",), (), resolved_settings(flags))
    settings = request.settings
    view = View(settings)

    def work() -> Manifest:
        access = access_with(settings)
        found = submit_run(msgspec.structs.replace(request, access=access), view)
        secrets_of(found.run)
        reception = reception_of(spec_of(found, settings, access), sys.stderr.write)
        return serve_run(found, settings, access, reception, view, lease_s=float(lease_s))

    return view.show(work)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
