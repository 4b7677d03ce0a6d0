package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"microtome/pipeline"
	"microtome/slide"
)

// A choice says which slides a run takes.
type choice struct {
	find  slide.FindConfig
	shard string // "": that of the job array that this is a task of, if it is one
}

// An entry is a slide of a run, or why what was named there is none.
type entry struct {
	item pipeline.Item
	err  error
}

// entries returns the slides that the arguments of a command name: slides, folders, and lists of slides. Those of one model
// come together, as only one is open at a time.
func (c choice) entries(args []string) (all []entry, shard pipeline.Shard, notes []string, err error) {
	if shard, err = c.part(&notes); err != nil {
		return nil, shard, nil, err
	}
	add := func(item pipeline.Item, err error) {
		if shard.Has(item.Path) {
			all = append(all, entry{item, err})
		}
	}
	for len(args) > 0 {
		n := slices.IndexFunc(args, isList)
		if n < 0 {
			n = len(args)
		}
		if n > 0 {
			for item, err := range pipeline.Items(slide.Find(c.find, args[:n]...)) {
				add(item, err)
			}
			args = args[n:]
			continue
		}
		arg := args[0]
		args = args[1:]
		items, said, err := pipeline.ReadList(arg)
		if err != nil {
			return nil, shard, nil, err
		}
		notes = append(notes, said...)
		for _, item := range items {
			add(item, nil)
		}
	}
	named := all
	all = nil
	for item, err := range pipeline.Once(each(named)) { // how many there are is known beforehand
		all = append(all, entry{item, err})
	}
	order := map[string]int{"": 0} // of models
	for _, e := range all {
		if _, ok := order[e.item.Model]; !ok {
			order[e.item.Model] = len(order)
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int { return cmp.Compare(order[a.item.Model], order[b.item.Model]) })
	return all, shard, notes, nil
}

// part returns the shard that is asked for.
func (c choice) part(notes *[]string) (pipeline.Shard, error) {
	if c.shard != "" {
		return pipeline.ParseShard(c.shard)
	}
	shard, ok, err := pipeline.SlurmShard(os.Getenv)
	if ok && err == nil {
		*notes = append(*notes, fmt.Sprintf("this task of a Slurm job array takes part %v of the slides; --shard 1/1 takes all", shard))
	}
	return shard, err
}

func isList(path string) bool {
	ext := strings.ToLower(filepath.Ext(path))
	info, err := os.Stat(path)
	return (ext == ".csv" || ext == ".txt") && (err != nil || !info.IsDir())
}

// each gives the entries to a run.
func each(all []entry) func(yield func(pipeline.Item, error) bool) {
	return func(yield func(pipeline.Item, error) bool) {
		for _, e := range all {
			if !yield(e.item, e.err) {
				return
			}
		}
	}
}

// checkTissue refuses one file of tissue for several slides.
func checkTissue(source string, all []entry) error {
	if source == pipeline.TissueAuto || source == pipeline.TissueOff {
		return nil
	}
	slides := map[string]string{} // by the file of their tissue
	for _, e := range all {
		path := slide.RealPath(e.item.Path)
		file := pipeline.TissueSource(source, path)
		switch other, ok := slides[file]; {
		case !ok || other == path:
			slides[file] = path
		case file == source:
			return usageError{fmt.Errorf("--tissue %s is one file for %d slides: write {name} in its path where the slide's name stands", source, len(all))}
		default:
			return usageError{fmt.Errorf("--tissue: %s is one file for %s and %s: give slides of one name in runs of their own", file, other, path)}
		}
	}
	return nil
}

// A badTile is the flag that says what becomes of a tile that cannot be read: whether it is marked.
type badTile bool

func (b *badTile) String() string {
	if *b {
		return "mark"
	}
	return "fail"
}

func (b *badTile) Set(s string) error {
	if s != "mark" && s != "fail" {
		return errors.New("give mark or fail")
	}
	*b = s == "mark"
	return nil
}

func (*badTile) Type() string { return "mark|fail" }

// A waiting is the flag of a time that is waited at most.
type waiting time.Duration

func (w *waiting) String() string { return time.Duration(*w).String() }

func (w *waiting) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		return errors.New("give a time such as 30s or 2m, or 0 to wait for ever")
	}
	*w = waiting(d)
	return nil
}

func (*waiting) Type() string { return "time" }
