"""Images of masters, workers and MinIO: built from what is installed here, brought to the nodes.

A name is made of the content that an image is built from. So what is there under its name is not
built again, and what the nodes have is not loaded again.
"""
