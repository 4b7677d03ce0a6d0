package train

import (
	"image"
	"image/color"
	"image/png"
	"io"
	"strconv"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"microtome/internal/raster"
)

// A sheet is a page of pictures: rows of square cells under headings, each row under a line of text.
type sheet struct {
	edge     int      // of a cell, px
	headings []string // of the columns
	rows     []row
	hottest  float64 // what the hottest colour of the last column stands for
}

// A row has a picture a column; one that is smaller than its cell stands in the middle of it.
type row struct {
	text  string
	cells []raster.RGB
}

const (
	gap        = 8  // around cells, px
	textHeight = 20 // of a line, px
	barSize    = 12 // height of the scale of colours, px
)

// size returns the width and height of the sheet.
func (s *sheet) size() (w, h int) {
	return gap + len(s.headings)*(s.edge+gap), 2*gap + textHeight + len(s.rows)*(textHeight+s.edge+gap) + barSize + textHeight + gap
}

// cell returns where a picture of a size goes.
func (s *sheet) cell(row, column, w, h int) image.Point {
	return image.Pt(
		gap+column*(s.edge+gap)+(s.edge-w)/2,
		2*gap+textHeight+row*(textHeight+s.edge+gap)+textHeight+(s.edge-h)/2,
	)
}

// write writes the sheet as a PNG.
func (s *sheet) write(w io.Writer) error {
	width, height := s.size()
	page := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range page.Pix {
		page.Pix[i] = 255
	}
	for i, text := range s.headings {
		write(page, gap+i*(s.edge+gap), gap, s.edge, text)
	}
	for r, row := range s.rows {
		at := s.cell(r, 0, s.edge, s.edge)
		write(page, at.X, at.Y-textHeight, width-2*gap, row.text)
		for c, m := range row.cells {
			at := s.cell(r, c, m.W, m.H)
			for i := range m.W * m.H {
				page.SetRGBA(at.X+i%m.W, at.Y+i/m.W, color.RGBA{m.Pix[3*i], m.Pix[3*i+1], m.Pix[3*i+2], 255})
			}
		}
	}
	at := s.cell(len(s.rows), len(s.headings)-1, s.edge, s.edge).Sub(image.Pt(0, textHeight))
	for x := range s.edge {
		for y := range barSize {
			page.SetRGBA(at.X+x, at.Y+y, heat(float64(x)/float64(max(s.edge-1, 1))))
		}
	}
	hottest := strconv.FormatFloat(s.hottest, 'g', 3, 64)
	write(page, at.X, at.Y+barSize, s.edge, "0")
	write(page, at.X+s.edge-textWidth(hottest), at.Y+barSize, s.edge, hottest)
	return png.Encode(w, page)
}

func textWidth(text string) int { return font.MeasureString(basicfont.Face7x13, text).Ceil() }

// write writes a line of text in black, cut off at a width.
func write(page *image.RGBA, x, y, width int, text string) {
	d := font.Drawer{
		Dst:  page.SubImage(image.Rect(x, y, x+width, y+textHeight)).(*image.RGBA),
		Src:  image.Black,
		Face: basicfont.Face7x13,
		Dot:  fixed.P(x, y+basicfont.Face7x13.Ascent+2),
	}
	d.DrawString(text)
}
