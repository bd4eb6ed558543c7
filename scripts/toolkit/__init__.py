"""What the scripts share: one subject a module.

Only :mod:`toolkit.cli`, which all scripts have in common, and the displays of :mod:`toolkit.notebook` print;
nothing else prints or exits.
"""

__version__ = "0.1.0"
