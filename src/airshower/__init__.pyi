from airshower.library.events import Events as Events
from airshower.library.events import open_events as open
from airshower.library.run import Run as Run
from airshower.library.run import load as load
from airshower.library.training import train as train

__all__ = ["Events", "Run", "load", "open", "train"]
__version__: str
