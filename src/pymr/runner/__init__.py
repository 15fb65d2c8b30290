"""Where attempts run. A runner holds no rule about tasks, leases, retries or commit."""
