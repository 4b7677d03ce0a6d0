package main

import (
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
)

// drawDiscs is a program of its own: discs [-images N] [-edge PIXELS] [-each N] [-masks] DIR makes a data set of dark discs on a
// light ground, of which some touch. With -masks they lie in images/ and masks/, else beside NAME_instances.png.
func drawDiscs() {
	images := flag.Int("images", 5, "")
	edge := flag.Int("edge", 48, "")
	each := flag.Int("each", 9, "")
	masks := flag.Bool("masks", false, "")
	flag.Parse()
	dir := flag.Arg(0)
	imageDir, truthDir, suffix := dir, dir, "_instances"
	if *masks {
		imageDir, truthDir, suffix = filepath.Join(dir, "images"), filepath.Join(dir, "masks"), ""
	}
	must(os.MkdirAll(imageDir, 0o777))
	must(os.MkdirAll(truthDir, 0o777))
	for n := range *images {
		picture, truth := discs(uint64(n), *edge, *each, *masks)
		name := string(rune('a' + n))
		must(savePNG(filepath.Join(imageDir, name+".png"), picture))
		must(savePNG(filepath.Join(truthDir, name+suffix+".png"), truth))
	}
}

// discs draws a picture, and its truth: 16-bit numbers, or a mask of 0 and 255.
func discs(seed uint64, edge, each int, mask bool) (picture *image.RGBA, truth draw.Image) {
	r := rand.New(rand.NewPCG(seed, 4))
	bounds := image.Rect(0, 0, edge, edge)
	picture = image.NewRGBA(bounds)
	numbers := image.NewGray16(bounds)
	for y := range edge {
		for x := range edge {
			v := byte(200 + r.IntN(30))
			picture.Set(x, y, color.RGBA{v, v, v, 255})
		}
	}
	for id := range each {
		cx, cy, radius := r.Float64()*float64(edge), r.Float64()*float64(edge), 4+3*r.Float64()
		for y := range edge {
			for x := range edge {
				if math.Hypot(float64(x)-cx, float64(y)-cy) < radius && numbers.Gray16At(x, y).Y == 0 {
					numbers.SetGray16(x, y, color.Gray16{uint16(id + 1)})
					v := byte(80 + r.IntN(30))
					picture.Set(x, y, color.RGBA{v, v, v + 30, 255})
				}
			}
		}
	}
	if !mask {
		return picture, numbers
	}
	flat := image.NewGray(bounds)
	for i := range flat.Pix {
		if numbers.Pix[2*i+1] > 0 {
			flat.Pix[i] = 255
		}
	}
	return picture, flat
}

// drawStripes is a program of its own: stripes FILE EDGE VALUE... makes an 8-bit grey PNG with a stripe of each value.
func drawStripes() {
	edge, err := strconv.Atoi(os.Args[2])
	must(err)
	m := image.NewGray(image.Rect(0, 0, edge, edge))
	for i := range m.Pix {
		values := os.Args[3:]
		v, err := strconv.Atoi(values[i%edge*len(values)/edge])
		must(err)
		m.Pix[i] = byte(v)
	}
	must(savePNG(os.Args[1], m))
}

func savePNG(path string, m image.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := png.Encode(f, m); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Close()
}
