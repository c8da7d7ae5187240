"""Where backups lie: vaults, the manifest, and the pipeline between a source and a vault."""
