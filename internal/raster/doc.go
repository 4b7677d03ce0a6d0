// Package raster holds pixel algorithms that know nothing of slides, networks or files.
package raster
