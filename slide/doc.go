// Package slide opens whole-slide images and gives the pixels of any rectangle, at any level or
// resolution.
//
//	s, err := slide.Open("a.svs", slide.NewDefaultConfig())
//	v, err := s.AtMPP(0.5, 0)                        // or s.AtLevel(0)
//	err = v.Read(ctx, dst, image.Rect(-92, -92, 480, 480)) // RGB bytes; mirrored outside
//
// [Open] takes everything libvips opens: OpenSlide's formats with their levels, TIFF with its levels as
// pages or as OME-TIFF SubIFDs, and flat PNG, JPEG and the like. libvips is started by the first Open.
// A [BlockReader] is the one seam to a file: [New] makes a Slide of any, such as a synthetic one.
//
// # Pixels
//
// A [View] is the slide at one working resolution: a level as it is, or resampled from the nearest finer
// level. A pixel's value depends on its coordinates in the view alone, never on the rectangle it is read
// with. Outside the view the image goes on mirrored at its edge pixels (see [raster.Reflect]), as far as
// asked, so nobody else has a border case.
//
// Blocks of the file's own tile size are decoded once and kept in a cache bounded by
// [Config].CacheBytes, also while several goroutines want them. A Slide and its Views may be used by any
// number of goroutines.
//
// # Faults
//
// With [Config].Timeout, a file on a disk or share that does not answer fails with [ErrTimeout], at the
// latest after that time, and at once when it is asked again. The call that hangs cannot be ended: it is
// left behind, and the file is closed when it returns. Nobody waits for it, not even [Slide.Close].
//
// With [Config].Unread, a block that cannot be decoded is white, and reading goes on. [View.Unread] tells
// which pixels such blocks have a part in, and [Slide.Unread] how many there are. Damage that the decoder
// does not notice is not found.
//
// # Tiles
//
// A [Grid] lays tiles over a view: each pixel lies in exactly one Core. Tiles come in vertical panels,
// so that what has to be remembered between rows depends on a panel's width, not the slide's.
//
// Errors are [*Error] values with operation, path, level and rectangle.
package slide
