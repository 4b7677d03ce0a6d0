# microtome's commands, a line each. `make demo` and `make test` work on a fresh machine: see setup.sh.
.DEFAULT_GOAL := help
.PHONY: help setup vulkan build demo test race lint fuzz bench performance check clean
version := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
linter := bin/golangci-lint-2.15.0
fuzztime ?= 20s
ops := ./unet/ops ./unet/network
# Homebrew keeps OpenBLAS where pkg-config does not look.
with_openblas := PKG_CONFIG_PATH="$$PKG_CONFIG_PATH:$$(brew --prefix openblas 2>/dev/null)/lib/pkgconfig"

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
setup: ## install system libraries and ONNX Runtime where they are missing
	@./setup.sh
vulkan: ## get a software Vulkan for the tests of the webgpu device, aside in lib/
	@./vulkan.sh
build: setup ## build bin/microtome
	go build -trimpath -ldflags '-X main.version=$(version)' -o bin/microtome ./cmd/microtome
demo: build ## segment a synthetic slide with known truth and say how well it went
	bin/microtome bench demo -o demo
test: ## install what tests need, and run them all
	@./setup.sh test && { ./vulkan.sh || true; } && go test -timeout 30m ./... && $(with_openblas) go test -short -tags openblas $(ops) && go test -short -tags purego $(ops)
race: ## run the tests under the race detector, without the slow ones
	go test -race -short -timeout 30m ./...
lint: $(linter) ## vet, format and lint
	go vet ./... && go vet -tags purego $(ops) && $(linter) run
fuzz: ## fuzz each parser and codec for fuzztime (20s)
	./fuzz.sh $(fuzztime)
bench: ## run the Go benchmarks
	go test -run '^$$' -bench . ./...
performance: build ## measure this machine anew: docs/performance.md
	bin/microtome bench performance -o docs
check: lint race ## what must be clean before a commit
	go mod verify
clean: ## remove what the other targets made
	rm -rf bin lib demo
$(linter):
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 && mv bin/golangci-lint $@
