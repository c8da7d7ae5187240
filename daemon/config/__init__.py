"""The configuration: its settings and defaults, how a file is read, and what is wrong with it.

Others use what is named here. Neither reads files nor the environment, and holds no secret.
"""

from importlib.resources import files

from daemon.config.document import load
from daemon.config.problem import ConfigError, Problem
from daemon.config.settings import (
    Config,
    DaemonConfig,
    EngineConfig,
    ExportConfig,
    HookConfig,
    MetricsConfig,
    PolicyConfig,
    PricesConfig,
    RestoreConfig,
    RolesConfig,
    SpoolConfig,
    StorageConfig,
    TimeoutConfig,
    VaultConfig,
    default_config,
)
from daemon.size import size_bytes

__all__ = [
    "Config",
    "ConfigError",
    "DaemonConfig",
    "EngineConfig",
    "ExportConfig",
    "HookConfig",
    "MetricsConfig",
    "PolicyConfig",
    "PricesConfig",
    "Problem",
    "RestoreConfig",
    "RolesConfig",
    "SpoolConfig",
    "StorageConfig",
    "TimeoutConfig",
    "VaultConfig",
    "default_config",
    "example",
    "load",
    "size_bytes",
]


def example() -> str:
    """The text of ``config.example.toml``: every setting, its default, and why."""
    return files(__name__).joinpath("config.example.toml").read_text(encoding="utf-8")
