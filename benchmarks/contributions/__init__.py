"""The parts of ``benchmarks/contributions.py``.

``setting`` says what is measured and how large, ``cases`` loads networks and inputs, ``captums`` is Captum's side,
``sweeps`` has references and errors, ``sections`` and ``costs`` measure, ``tables`` and ``plots`` show.
"""
