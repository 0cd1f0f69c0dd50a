package kudari.cli;

import java.io.IOException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import kudari.data.Dataset;
import kudari.data.Digits;
import kudari.data.Idx;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Where a command's samples come from, as its {@code --data} option says. */
interface DataOption {

    /** The samples to train on. */
    Dataset train(long seed) throws IOException;

    /** The samples held out. */
    Dataset test(long seed) throws IOException;

    /** What the option would say to mean the same samples, in whatever folder the command is run. */
    String argument();

    /** What reading them is, for a user who waits: {@code reading mnist:data}. */
    default String work() {
        return "reading " + this;
    }

    /** Digits drawn by the program. */
    static DataOption digits(int train, int test) {
        return new DataOption() {
            @Override
            public Dataset train(long seed) {
                return Digits.train(train, seed);
            }

            @Override
            public Dataset test(long seed) {
                return Digits.test(test, seed);
            }

            @Override
            public String argument() {
                return "digits:" + train + "," + test;
            }

            @Override
            public String work() {
                return String.format(Locale.ROOT, "drawing %,d digits to train on and %,d to hold out", train, test);
            }

            @Override
            public String toString() {
                return "digits";
            }
        };
    }

    /** A folder of IDX files; the seed chooses nothing. */
    static DataOption idx(Path folder) {
        return new DataOption() {
            @Override
            public Dataset train(long seed) throws IOException {
                return Idx.train(folder);
            }

            @Override
            public Dataset test(long seed) throws IOException {
                return Idx.test(folder);
            }

            @Override
            public String argument() {
                return "mnist:" + folder.toAbsolutePath().normalize();
            }

            @Override
            public String toString() {
                return "mnist:" + folder;
            }
        };
    }

    /** Reads the option's value. */
    final class Converter implements ITypeConverter<DataOption> {

        private static final Pattern DIGITS = Pattern.compile("digits:([1-9]\\d{0,6}),([1-9]\\d{0,6})");

        @Override
        public DataOption convert(String value) {
            Matcher counts = DIGITS.matcher(value);
            if (counts.matches()) return digits(Integer.parseInt(counts.group(1)), Integer.parseInt(counts.group(2)));
            if (value.equals("digits")) return digits(60_000, 10_000);
            if (value.startsWith("mnist:") && value.length() > 6) {
                try {
                    return idx(Path.of(value.substring(6)));
                } catch (InvalidPathException e) {
                    throw new TypeConversionException("'" + value + "' names no folder: " + e.getReason());
                }
            }
            throw new TypeConversionException("expected digits, digits:TRAIN,TEST or mnist:DIR, got '" + value + "'");
        }
    }
}
