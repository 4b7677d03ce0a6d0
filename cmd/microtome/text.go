package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
)

// size prints bytes as a person reads them.
func size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }

// resolution prints the size of a pixel, or what to say when it is not known.
func resolution(mpp float64, unknown string) string {
	if mpp == 0 {
		return unknown
	}
	return fmt.Sprintf("%.4g µm/px", mpp)
}

// area prints mm², when they are known.
func area(mm2 *float64) string {
	if mm2 == nil {
		return "unknown mm²"
	}
	return fmt.Sprintf("%.4g mm²", *mm2)
}

// oneLine joins the lines of an error: standard error gets one line an error.
func oneLine(err error) error {
	if err == nil || !strings.Contains(err.Error(), "\n") {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
}
