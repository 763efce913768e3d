"""Measuring mlpeak against NumPy and PyTorch: ``python -m mlpeak bench``.

workloads.py says what a workload is and which families of them there are; kernel_workloads.py
defines the kernels' ones; worker.py runs one library's side in a process of its own; runner.py
takes turns and statistics; report.py makes the table, the JSON and the picture.
sklearn_workloads.py and sklearn_command.py are ``bench sklearn``, whole fits.
"""
