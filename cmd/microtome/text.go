package main

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/mattn/go-runewidth"
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

// number prints what is estimated: thousands apart, one decimal below ten.
func number(x float64) string {
	if x < 9.95 {
		return fmt.Sprintf("%.1f", x)
	}
	return humanize.Comma(int64(math.Round(x)))
}

// span prints a duration in its two largest units.
func span(d time.Duration) string {
	s := int64(max(0, d).Round(time.Second).Seconds())
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 600:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	case s < 3600:
		return fmt.Sprintf("%d min", s/60)
	case s < 48*3600:
		return fmt.Sprintf("%d h %d min", s/3600, s/60%60)
	}
	return fmt.Sprintf("%s d %d h", humanize.Comma(s/86400), s/3600%24)
}

// left is how long n more take, of which each takes so long.
func left(n, each float64) string { return span(seconds(n*each)) + " left" }

// shorten leaves out the middle of a name that is wider than a terminal has room for.
func shorten(name string, width int) string {
	wide := runewidth.StringWidth(name)
	if wide <= width || width < 3 {
		return name
	}
	head := runewidth.Truncate(name, width/2, "")
	return head + runewidth.TruncateLeft(name, wide-(width-1-runewidth.StringWidth(head)), "…")
}
