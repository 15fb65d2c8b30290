"""Runs on Kubernetes: a run on hosts whose master and workers are pods.

The laptop plans the run and puts it into the store, as for hosts; what differs is who starts the
master and the workers, and where the store is. Nothing of a run on one machine imports this.
"""
