"""From a query to a statement: what is asked for, in SQL with parameters, without a database.

``compiler`` is where it begins; each of the others writes, or says, one thing of it.
"""
