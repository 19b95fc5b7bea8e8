"""Ids that are put together from several columns, as the database sees them."""

from typing import Final

from sqlalchemy import String, cast

from cluster.records import Alias, AliasMove, PromptVersion, VectorStoreFile

__all__ = ["MOVE", "PROMPT", "STANDS_AT", "STORE_FILE"]

MOVE: Final = AliasMove.alias.concat("@").concat(cast(AliasMove.version, String))
"""As `/v1/aliases/{name}/history` names a move."""
STANDS_AT: Final = Alias.name.concat("@").concat(cast(Alias.version, String))
"""The move that an alias stands at."""
PROMPT: Final = PromptVersion.name.concat("@").concat(PromptVersion.digest)
"""As traces name a prompt's version."""
STORE_FILE: Final = VectorStoreFile.store_id.concat("/").concat(VectorStoreFile.file_id)
"""As `store_file_id` makes it."""
