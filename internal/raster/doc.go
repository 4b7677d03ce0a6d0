// Package raster holds pixel algorithms that several of the leaves need and that know nothing of
// slides, networks or files.
package raster
