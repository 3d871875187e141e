# Each target is a line of dev.py, which runs the same where there is no make: python dev.py test
PYTHON ?= python3
.PHONY: demo test lint bench ci-wheel ci-rllib ci-zoo ci-open3d ci-pybullet

demo: ; @$(PYTHON) dev.py demo $(ARGS)
test: ; @$(PYTHON) dev.py test $(ARGS)
lint: ; @$(PYTHON) dev.py lint $(ARGS)
bench: ; @$(PYTHON) dev.py bench $(ARGS)
ci-wheel: ; @$(PYTHON) dev.py ci-wheel
ci-rllib: ; @$(PYTHON) dev.py ci-rllib $(ARGS)
ci-zoo: ; @$(PYTHON) dev.py ci-zoo $(ARGS)
ci-open3d: ; @$(PYTHON) dev.py ci-open3d $(ARGS)
ci-pybullet: ; @$(PYTHON) dev.py ci-pybullet $(ARGS)
