package main

import (
	"errors"
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
)

// byteSize is a flag for an amount of memory, such as 2GiB or 512MiB.
type byteSize int64

// String gives all of the number: it is handed on to other processes.
func (b *byteSize) String() string {
	for _, unit := range []struct {
		name  string
		bytes byteSize
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}} {
		if *b >= unit.bytes && *b%unit.bytes == 0 {
			return fmt.Sprintf("%d%s", *b/unit.bytes, unit.name)
		}
	}
	return fmt.Sprintf("%dB", *b)
}

func (b *byteSize) Type() string { return "SIZE" }

func (b *byteSize) Set(s string) error {
	n, err := humanize.ParseBytes(s)
	if err != nil || n > math.MaxInt64 {
		return errors.New("give an amount of memory such as 2GiB or 512MiB")
	}
	*b = byteSize(n)
	return nil
}
