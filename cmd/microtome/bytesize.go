package main

import (
	"errors"
	"math"

	"github.com/dustin/go-humanize"
)

// byteSize is a flag for an amount of memory, such as 2GiB or 512MiB.
type byteSize int64

func (b *byteSize) String() string { return humanize.IBytes(uint64(*b)) }
func (b *byteSize) Type() string   { return "SIZE" }

func (b *byteSize) Set(s string) error {
	n, err := humanize.ParseBytes(s)
	if err != nil || n > math.MaxInt64 {
		return errors.New("give an amount of memory such as 2GiB or 512MiB")
	}
	*b = byteSize(n)
	return nil
}
