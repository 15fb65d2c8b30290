"""What a job would do, found out on a sample before it runs."""
