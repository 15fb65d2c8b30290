"""Runs on Kubernetes: a run on hosts whose master and workers are pods."""
