"""Taking offline pods off nodes whose online load has grown: which, as a pure function, and how, by eviction."""
