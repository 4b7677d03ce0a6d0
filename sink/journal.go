package sink

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"io"
	"io/fs"
	"iter"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
)

// A Journal keeps the labels of finished tiles, in the order in which they are committed, so that a run
// that was interrupted goes on where it stopped. It is all that is durable of a slide in work: what is
// made of the labels is made from them again. See [Stage.Journal].
//
// The file is a line of text, then frames: a length in 4 bytes, a CRC-32C in 4, and as many bytes of
// content; numbers are little endian. The first frame is the header, as JSON. Each other is a tile: its
// index and rectangle and the length of its labels as varints, the labels as a block of S2, and
// what else was kept of it. A checksum covers length and content and goes on from the checksum before, so
// a frame is right only after those it was written after: one that is missing, doubled or left from
// another run ends the journal, as does one that is cut short or damaged.
//
// A tile is with the operating system when Append returns, so a killed process loses none. A power cut
// loses at most what came since the last sync, 16 MiB or the tiles of 10 s, and the labels that wait for
// their turn. It is not safe for concurrent use.
type Journal struct {
	file     File
	path     string
	header   JournalHeader
	held     func() error // fails when the stage is no longer this process's
	resumed  int
	dropped  int64 // bytes cut off an earlier run's journal: most often the tile that it was writing
	restart  *Restart
	first    int64  // where the first tile is
	firstSum uint32 // the checksum before it
	pos      int64
	sum      uint32 // of the last frame
	tiles    int
	next     int   // least index that may come: one more than that of the last tile
	err      error // the first that Append met
	frame    []byte
	rows     []byte // labels without gaps
	unsynced int64
	synced   time.Time
}

// A JournalHeader pins what the labels of a journal depend on, and what the n-th tile is. Where any of it
// differs, the tiles of an earlier run are of no use.
type JournalHeader struct {
	Version   string          `json:"version"` // of microtome
	Slide     string          `json:"slide"`   // see Fingerprint
	Model     string          `json:"model"`   // SHA-256
	Engine    string          `json:"engine"`
	Stride    int             `json:"stride"`
	Before    int             `json:"before"`
	After     int             `json:"after"`
	Level     int             `json:"level"` // of the slide that pixels come from
	Scale     float64         `json:"scale"` // pixels of that level a mask pixel
	MPP       float64         `json:"mpp"`   // µm a mask pixel; 0: unknown
	Region    image.Rectangle `json:"region"`
	Core      int             `json:"core"`      // edge of a tile, px
	Panel     int             `json:"panel"`     // width of a panel, tiles
	Arguments []string        `json:"arguments"` // others that change labels, such as "tissue=auto"
}

// A Restart says why the tiles of an earlier run are not used.
type Restart struct {
	Field   string // of the header, by its name in JSON, or "format"; empty: the header cannot be read
	Was, Is string
}

func (r *Restart) String() string {
	if r.Field == "" {
		return "what the interrupted run left cannot be read"
	}
	return fmt.Sprintf("the interrupted run had %s %s, this one has %s", r.Field, r.Was, r.Is)
}

// differs returns the first field in which h differs from what an earlier run had, or nil.
func (h JournalHeader) differs(was JournalHeader) *Restart {
	a, b := reflect.ValueOf(was), reflect.ValueOf(h)
	for i := range a.NumField() {
		was, is := fmt.Sprint(a.Field(i)), fmt.Sprint(b.Field(i)) // floats in full
		if was != is {
			if old, ok := a.Field(i).Interface().([]string); ok { // the one that differs
				was, is = firstOther(old, h.Arguments), firstOther(h.Arguments, old)
			}
			return &Restart{a.Type().Field(i).Tag.Get("json"), was, is}
		}
	}
	return nil
}

// firstOther returns the first of some arguments that stands at another place in others, or not at all.
func firstOther(some, others []string) string {
	for i, a := range some {
		if i >= len(others) || others[i] != a {
			return a
		}
	}
	return "none"
}

// A Record is a finished tile. Rect is its place in the mask; the rows of Labels are Stride bytes apart.
// Extra is what else is needed of its pixels, as the caller encodes it.
type Record struct {
	Index  int // in the order of the grid
	Rect   image.Rectangle
	Stride int
	Labels []byte
	Extra  []byte
}

const (
	journalLine = "microtome journal 1\n" // the number is the format's
	frameHead   = 8                       // bytes of length and checksum
	maxExtra    = 16 << 20                // bytes of Record.Extra
	maxHeader   = 1 << 20

	syncBytes = 16 << 20 // what a power cut may take
	syncEvery = 10 * time.Second
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// JournalBytes is the memory of a journal whose tiles have an edge of core pixels, without their Extra.
func JournalBytes(core int) int64 { return int64(maxFrame(core) - maxExtra + core*core + 1<<18) }

// maxFrame is the most that the content of a tile's frame takes.
func maxFrame(core int) int { return s2.MaxEncodedLen(core*core) + 6*binary.MaxVarintLen64 + maxExtra }

// openJournal opens the journal at path for more tiles. One that is not there, or does not fit the header,
// is made anew.
func openJournal(fsys FileSystem, path string, h JournalHeader, held func() error) (*Journal, error) {
	if h.Core < 1 || h.Core > maxTile || h.Region.Empty() {
		return nil, fmt.Errorf("journal of tiles of %d pixels in the region %v", h.Core, h.Region)
	}
	j := &Journal{path: path, header: h, held: held}
	var err error
	j.file, err = fsys.Open(path)
	if err == nil {
		if err := j.scan(); err != nil {
			return nil, also(fmt.Errorf("%w: give --force to start this slide over", err), j.file.Close())
		}
		if j.restart == nil {
			return j, nil
		}
		torn, err := j.torn()
		if err != nil {
			return nil, also(fmt.Errorf("%w: give --force to start this slide over", err), j.file.Close())
		}
		if torn {
			j.restart = nil
		}
		// A new file: a process that has lost the stage without knowing writes on in the old one.
		if err := also(j.file.Close(), fsys.Remove(path)); err != nil {
			return nil, advise(err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, advise(err)
	}
	if j.file, err = fsys.Create(path); err != nil {
		return nil, advise(err)
	}
	if err := j.begin(fsys); err != nil {
		return nil, also(also(advise(err), j.file.Close()), fsys.Remove(path))
	}
	return j, nil
}

// begin writes the header, durably.
func (j *Journal) begin(fsys FileSystem) error {
	start, err := j.start()
	if err != nil {
		return err
	}
	j.pos = 0
	if err := j.writeAt(start); err != nil {
		return err
	}
	j.first, j.firstSum = j.pos, j.sum
	j.synced = time.Now()
	return also(j.file.Sync(), fsys.SyncDir(filepath.Dir(j.path)))
}

// start returns what a journal of the header begins with.
func (j *Journal) start() ([]byte, error) {
	text, err := json.Marshal(j.header)
	if err != nil {
		return nil, err
	}
	j.frame = append(append(j.frame[:0], make([]byte, frameHead)...), text...)
	j.sum = 0
	j.sum = j.seal()
	return append([]byte(journalLine), j.frame...), nil
}

// torn reports whether the file is that of a process of the same work that was killed before its header was whole.
// There was no tile then.
func (j *Journal) torn() (bool, error) {
	start, err := j.start()
	if err != nil {
		return false, err
	}
	is, err := io.ReadAll(io.LimitReader(j.from(0), int64(len(start))))
	return len(is) < len(start) && bytes.HasPrefix(start, is), err
}

// scan reads a journal that is there to the last whole tile and cuts off the rest. It sets restart when
// the tiles are not those of the header.
func (j *Journal) scan() error {
	r := bufio.NewReaderSize(j.from(0), 1<<18)
	line := make([]byte, len(journalLine))
	n, err := io.ReadFull(r, line)
	if err != nil && !ended(err) {
		return err
	}
	if string(line) != journalLine {
		j.restart = new(Restart)
		if was, ok := strings.CutPrefix(string(line[:n]), strings.TrimRight(journalLine, "0123456789\n")); ok && err == nil {
			j.restart = &Restart{"format", strings.TrimSpace(was), "1"}
		}
		return nil
	}
	j.pos = int64(len(line))
	content, err := j.readFrame(r, maxHeader)
	if err != nil {
		return err
	}
	var was JournalHeader
	if content == nil {
		j.restart = new(Restart)
	} else if err := json.Unmarshal(content, &was); err != nil {
		j.restart = new(Restart)
	} else {
		j.restart = j.header.differs(was)
	}
	if j.restart != nil {
		return nil
	}
	j.first, j.firstSum = j.pos, j.sum
	for {
		pos, sum := j.pos, j.sum
		content, err := j.readFrame(r, maxFrame(j.header.Core))
		if err != nil {
			return err
		}
		var rec Record
		if content != nil {
			rec, _, err = j.parse(content)
		}
		if content == nil || err != nil {
			j.pos, j.sum = pos, sum
			break
		}
		j.tiles++
		j.next = rec.Index + 1
	}
	j.resumed = j.tiles
	if j.dropped, err = io.Copy(io.Discard, j.from(j.pos)); err == nil && j.dropped > 0 {
		err = j.file.Truncate(j.pos)
	}
	return err // synced is zero: what only the operating system has is synced with the first tile
}

// from reads the file from an offset on.
func (j *Journal) from(pos int64) io.Reader { return io.NewSectionReader(j.file, pos, 1<<62) }

// ended reports whether an error says no more than that the file ends.
func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// readFrame returns the content of the frame at pos and steps over it, or nil where there is none that is
// whole. The content is valid until the next call.
func (j *Journal) readFrame(r io.Reader, most int) ([]byte, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if ended(err) {
			err = nil
		}
		return nil, err
	}
	n := int(le.Uint32(head[:]))
	if n < 1 || n > most {
		return nil, nil
	}
	j.frame = slices.Grow(j.frame[:0], n)[:n]
	if _, err := io.ReadFull(r, j.frame); err != nil {
		if ended(err) {
			err = nil
		}
		return nil, err
	}
	sum := crc32.Update(crc32.Update(j.sum, castagnoli, head[:4]), castagnoli, j.frame)
	if sum != le.Uint32(head[4:]) {
		return nil, nil
	}
	j.sum = sum
	j.pos += int64(frameHead + n)
	return j.frame, nil
}

// parse returns a tile without its labels, and these as they are compressed.
func (j *Journal) parse(content []byte) (rec Record, packed []byte, err error) {
	var v [6]uint64
	for i := range v {
		value, n := binary.Uvarint(content)
		if n <= 0 || value > 1<<40 {
			return rec, nil, errTile
		}
		v[i], content = value, content[n:]
	}
	rec.Index = int(v[0])
	rec.Rect = image.Rect(0, 0, int(v[3]), int(v[4])).Add(image.Pt(int(v[1]), int(v[2])))
	if !j.fits(rec.Rect) || v[5] > uint64(len(content)) {
		return rec, nil, errTile
	}
	rec.Stride = rec.Rect.Dx()
	rec.Extra = content[v[5]:]
	return rec, content[:v[5]], nil
}

var errTile = errors.New("not a tile of this mask")

// fits reports whether a rectangle may be a tile of the mask.
func (j *Journal) fits(r image.Rectangle) bool {
	mask := image.Rectangle{Max: j.header.Region.Size()}
	return !r.Empty() && r.In(mask) && r.Dx() <= j.header.Core && r.Dy() <= j.header.Core
}

// Resumed returns how many tiles of an earlier run the journal holds: what Replay gives.
func (j *Journal) Resumed() int { return j.resumed }

// Restart returns why an earlier run's tiles are not used, or nil when they are or there were none.
func (j *Journal) Restart() *Restart { return j.restart }

// Replay gives the tiles of an earlier run in the order in which they were appended, before the first
// Append. A record is valid until the next. After an error it ends.
func (j *Journal) Replay() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		fail := func(n int, err error) {
			yield(Record{}, fmt.Errorf("replay %s: tile %d of %d: %w: give --force to start this slide over", j.path, n+1, j.resumed, err))
		}
		if j.tiles > j.resumed {
			fail(0, errors.New("a tile was appended before the replay"))
			return
		}
		pos, sum := j.pos, j.sum
		defer func() { j.pos, j.sum = pos, sum }()
		j.pos, j.sum = j.first, j.firstSum
		r := bufio.NewReaderSize(j.from(j.first), 1<<18)
		for n := range j.resumed {
			content, err := j.readFrame(r, maxFrame(j.header.Core))
			if err == nil && content == nil {
				err = errors.New("it has changed on disk")
			}
			var rec Record
			var packed []byte
			if err == nil {
				rec, packed, err = j.parse(content)
			}
			if err == nil {
				rec.Labels, err = j.labels(packed, rec.Rect.Dx()*rec.Rect.Dy())
			}
			if err != nil {
				fail(n, err)
				return
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// labels unpacks n labels. They are valid until the next call.
func (j *Journal) labels(packed []byte, n int) ([]byte, error) {
	has, err := s2.DecodedLen(packed)
	if err == nil && has != n {
		err = fmt.Errorf("%d labels, not %d", has, n)
	}
	if err != nil {
		return nil, err
	}
	j.rows = slices.Grow(j.rows[:0], n)[:n]
	return s2.Decode(j.rows, packed)
}

// Append adds a tile. Indexes ascend; those of tiles that need no journal, as they are known without the
// network, are left out. After an error the journal takes no more, and what it has is whole.
func (j *Journal) Append(rec Record) error {
	if j.err == nil {
		j.err = advise(j.append(rec))
	}
	return j.err
}

func (j *Journal) append(rec Record) error {
	w, h := rec.Rect.Dx(), rec.Rect.Dy()
	switch {
	case rec.Index < j.next:
		return fmt.Errorf("append %s: tile %d comes after tile %d", j.path, rec.Index, j.next-1)
	case !j.fits(rec.Rect):
		return fmt.Errorf("append %s: %v is %w", j.path, rec.Rect, errTile)
	case rec.Stride < w || len(rec.Labels) < (h-1)*rec.Stride+w:
		return fmt.Errorf("append %s: %d labels in rows of %d for the rectangle %v", j.path, len(rec.Labels), rec.Stride, rec.Rect)
	case len(rec.Extra) > maxExtra:
		return fmt.Errorf("append %s: %d bytes beside the labels of a tile, %d at most", j.path, len(rec.Extra), maxExtra)
	}
	labels := rec.Labels[:(h-1)*rec.Stride+w]
	if rec.Stride > w {
		j.rows = j.rows[:0]
		for y := range h {
			j.rows = append(j.rows, rec.Labels[y*rec.Stride:][:w]...)
		}
		labels = j.rows
	}
	// The length of the labels comes before them and is known after: room for all that stands before.
	const room = frameHead + 6*binary.MaxVarintLen64
	most := room + s2.MaxEncodedLen(len(labels))
	j.frame = slices.Grow(j.frame[:0], most)[:most]
	packed := s2.Encode(j.frame[room:], labels)
	j.frame = append(j.frame[:room+len(packed)], rec.Extra...)
	var lead [room]byte
	b := lead[:frameHead]
	for _, v := range [6]int{rec.Index, rec.Rect.Min.X, rec.Rect.Min.Y, w, h, len(packed)} {
		b = binary.AppendUvarint(b, uint64(v))
	}
	whole := j.frame
	j.frame = j.frame[room-len(b):]
	copy(j.frame, b)
	err := j.writeFrame()
	j.frame = whole // with all of its capacity
	if err != nil {
		return err
	}
	j.tiles++
	j.next = rec.Index + 1
	if j.unsynced >= syncBytes || time.Since(j.synced) >= syncEvery {
		return j.sync()
	}
	return nil
}

// writeFrame writes what stands in frame behind room for length and checksum.
func (j *Journal) writeFrame() error {
	sum := j.seal()
	if err := j.writeAt(j.frame); err != nil {
		return err
	}
	j.sum = sum
	return nil
}

// seal sets length and checksum of the frame, which it returns.
func (j *Journal) seal() (sum uint32) {
	le.PutUint32(j.frame, uint32(len(j.frame)-frameHead))
	sum = crc32.Update(crc32.Update(j.sum, castagnoli, j.frame[:4]), castagnoli, j.frame[frameHead:])
	le.PutUint32(j.frame[4:], sum)
	return sum
}

// writeAt writes at the end of the journal.
func (j *Journal) writeAt(b []byte) error {
	n, err := j.file.WriteAt(b, j.pos)
	if err == nil && n < len(b) {
		err = fmt.Errorf("write %s: %w", j.path, io.ErrShortWrite)
	}
	if err != nil {
		return err
	}
	j.pos += int64(n)
	j.unsynced += int64(n)
	return nil
}

// Sync makes the tiles durable that were appended.
func (j *Journal) Sync() error {
	if j.err == nil {
		j.err = advise(j.sync())
	}
	return j.err
}

func (j *Journal) sync() error {
	if err := j.held(); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return err
	}
	j.unsynced, j.synced = 0, time.Now()
	return nil
}
