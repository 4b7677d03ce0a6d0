//go:build !linux

package sink

// Where processes cannot be looked up, the file system's lock and the age of the lock file must do.

func kernelID() string { return "" }

func machineID() string { return "" }

func pidSpace() string { return "" }

func processStart(int) string { return "" }
