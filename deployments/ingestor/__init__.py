"""The Ingestor: the document path's deployment."""
