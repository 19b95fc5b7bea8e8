"""Backups of all state, and their way back.

A place (a folder or an fsspec URL) holds many backups:

    backups/ID/records/TABLE.jsonl.gz     rows, in one form for SQLite and PostgreSQL
    backups/ID/passages/COLLECTION.parquet  passages with their vectors
    backups/ID/contents.jsonl.gz          key, size and SHA-256 of each object of the byte store
    backups/ID/manifest.json              all of these with counts and SHA-256: written last
    contents/…                            bytes by their SHA-256, shared by all backups
    deletions/…                           what was deleted on purpose, and stays so after a restore
"""
