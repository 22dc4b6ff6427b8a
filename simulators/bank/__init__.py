"""A simulated bank: the GoCardless contract (2015-07-06) over HTTP, its books kept in one file.

Start it with `python -m simulators bank`; read `door.py` for the way of a request, `payments.py`
and `mandates.py` for the lives of the two things that matter.
"""
