"""One machine's installation: starts the real PostgreSQL, NATS and control plane, supervises them, stops them.

``ccx up`` prepares (:mod:`preflight`, :mod:`files`) and then becomes the supervisor (:mod:`supervisor`), which imports
little: it lives as long as the installation. Each part is one module; :mod:`sandbox` confines all of them.
"""
