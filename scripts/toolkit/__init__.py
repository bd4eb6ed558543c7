"""What the scripts share: one subject a module.

Nothing in here prints or exits, but :mod:`toolkit.console` and :mod:`toolkit.entry`, which all scripts have in common.
"""

__version__ = "0.1.0"
