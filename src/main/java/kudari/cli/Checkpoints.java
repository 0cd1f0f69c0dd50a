package kudari.cli;

import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import kudari.checkpoint.Checkpoint;
import kudari.checkpoint.SafetensorsFile;
import kudari.io.AtomicFile;
import kudari.io.Say;

/** Where a run's checkpoints lie: the newest under one name, and before it as many as are to be kept, {@code model-step600.safetensors}. */
final class Checkpoints {

    /** The fact that says of which run a checkpoint is. */
    static final String RUN = "run";

    private static final Pattern OLDER = Pattern.compile("(.*)-step(\\d{1,18})((?:\\.[^.]*)?)");

    private final Path file;
    private final int keep;
    private final String run;
    private final boolean overwrite;
    private final Path folder;
    private final String stem, extension;

    /** The step of the checkpoint in the file, if it is this run's; or −1. */
    private long saved;

    /**
     * The checkpoints of a run.
     *
     * @param file the newest
     * @param keep how many there are to be, at least 1
     * @param saved the step of the one that is in the file; −1 if none is, or it is not this run's
     * @param run the name of the run
     * @param overwrite whether another run's files are replaced where they are in the way
     */
    Checkpoints(Path file, int keep, long saved, String run, boolean overwrite) {
        this.file = file;
        this.keep = keep;
        this.saved = saved;
        this.run = run;
        this.overwrite = overwrite;
        this.folder = file.toAbsolutePath().getParent();
        String name = file.getFileName().toString();
        int dot = name.lastIndexOf('.') > 0 ? name.lastIndexOf('.') : name.length();
        this.stem = name.substring(0, dot);
        this.extension = name.substring(dot);
    }

    /** The name of the newest checkpoint of the run that this is a checkpoint of: the same, or the one that this was kept beside. */
    static Path newest(Path file) {
        Matcher older = OLDER.matcher(file.getFileName().toString());
        return older.matches() ? file.resolveSibling(older.group(1) + older.group(3)) : file;
    }

    /** The step of the newest checkpoint, −1 if there is none. */
    long saved() {
        return saved;
    }

    /** Whether a file is a checkpoint of a run. */
    static boolean isOf(Path file, String run) {
        try (SafetensorsFile checkpoint = SafetensorsFile.open(file)) {
            return run.equals(checkpoint.metadata().get(RUN));
        } catch (IOException e) {
            return false;
        }
    }

    /**
     * Throws if a file that is to be written, or may be, is there already and is not this run's.
     *
     * @throws IOException in one sentence
     */
    void check() throws IOException {
        if (overwrite) return;
        checkOurs(file);
        if (keep > 1) for (long step : kept()) checkOurs(older(step));
    }

    private void checkOurs(Path file) throws IOException {
        if (Files.exists(file) && !isOf(file, run))
            throw new IOException("there is a file " + file + " already, which is not of this run; choose another name"
                    + " with --save, or replace it with --overwrite");
    }

    /** Writes the newest one. */
    void write(Checkpoint checkpoint, long step) throws IOException {
        if (saved < 0 && !overwrite) checkOurs(file); // another run may have come first
        if (keep > 1 && saved >= 0 && saved != step && Files.exists(file)) keepTheLast();
        checkpoint.write(file);
        saved = step;
        if (keep > 1) removeTheOldest();
    }

    private void keepTheLast() throws IOException {
        Path kept = older(saved), last = file.toRealPath();
        try {
            // From before the run went back to an older checkpoint: the same bits.
            if (isOf(kept, run)) return;
            if (overwrite) Files.deleteIfExists(kept);
            try {
                Files.createLink(kept, last); // the same file: nothing is copied, and it is whole at once
            } catch (FileAlreadyExistsException e) {
                throw e;
            } catch (IOException | UnsupportedOperationException e) {
                AtomicFile.write(kept, out -> Files.copy(last, out)); // a disk without links
            }
        } catch (IOException e) {
            throw new IOException("cannot keep " + file + " as " + kept + ": " + Say.reason(e), e);
        }
    }

    /** Those behind this step, which a run leaves that has gone back, stay until the run has come to them again. */
    private void removeTheOldest() throws IOException {
        List<Long> steps = kept().stream()
                .filter(step -> step <= saved && isOf(older(step), run))
                .sorted(Comparator.reverseOrder())
                .toList();
        for (long step : steps.subList(Math.min(keep - 1, steps.size()), steps.size()))
            Files.deleteIfExists(older(step));
    }

    /** The steps whose checkpoints lie beside the newest, whoever kept them. */
    private List<Long> kept() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(f -> OLDER.matcher(f.getFileName().toString()))
                    .filter(m ->
                            m.matches() && m.group(1).equals(stem) && m.group(3).equals(extension))
                    .map(m -> Long.valueOf(m.group(2)))
                    .toList();
        }
    }

    private Path older(long step) {
        return file.resolveSibling(stem + "-step" + step + extension);
    }

    @Override
    public String toString() {
        return file.toString();
    }
}
