"""Build script: pbr reads everything from setup.cfg."""

import setuptools

setuptools.setup(setup_requires=["pbr>=5.10"], pbr=True)
