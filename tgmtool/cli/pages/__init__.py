"""The help pages, and what writes them and the other views of the command tree.

`reference.py` walks the tree and says what each page tells; the modules here only know how a view
looks. They are apart so that a new view is a new file.
"""
