"""Measuring mlpeak against other libraries: ``python -m mlpeak bench``.

workloads.py says what a workload is and which families of them there are; kernels/ and training/
define them; worker.py runs one library's side in a process of its own; runner.py takes turns and
statistics; report.py makes the table and the JSON, picture.py the picture.
sklearn_workloads.py and sklearn_command.py are ``bench sklearn``, whole fits.
"""
