$(phplibdir)/hadsn.so: $(HADSN_SOURCES)
	target=$${CARGO_TARGET_DIR:-$(HADSN_CRATE)/target}; \
	cd $(HADSN_CRATE) && $(HADSN_ENVIRONMENT) $(CARGO) build --release --locked --target-dir "$$target" && \
	mkdir -p $(phplibdir) && cp "$$target/release/libhadsn.so" $@.new && mv $@.new $@
