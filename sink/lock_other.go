//go:build !unix

package sink

import "os"

// lock lets everybody in: this system has no locks that end with their process.
func lock(*os.File) error { return nil }
