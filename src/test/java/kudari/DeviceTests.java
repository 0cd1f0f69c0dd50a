package kudari;

import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectUniqueId;

import java.io.PrintStream;
import java.util.Comparator;
import java.util.Optional;
import org.junit.platform.engine.DiscoverySelector;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.Launcher;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/** Runs test classes by name where there is no Maven. What did not run has not passed: a skip fails, and so does a class without tests. */
final class DeviceTests {

    /** The one reason for which a test may skip itself: that it is about the GPU in software. */
    static final String SOFT_ONLY = "kudari.device is not soft";

    /** For a rehearsal: of each class one test only. */
    private static final boolean FIRST =
            System.getProperty("kudari.tests", "all").equals("first");

    private DeviceTests() {}

    public static void main(String[] classes) {
        // Held open, so that the device's context is made once and not for every test; it is a fifth of a second each
        // time.
        try (Engine held = Engines.onSoftware() ? Engine.cpu(1) : Engines.open()) {
            System.out.println("held open: " + held);
            boolean passed = true;
            for (String name : classes) passed &= new Outcome(name).run(System.out);
            System.out.println(passed ? "all passed" : "NOT ALL PASSED");
            if (!passed) System.exit(1);
        }
    }

    /** How the tests of one class went. */
    static final class Outcome implements TestExecutionListener {

        private final String name;
        private PrintStream out = System.out;
        int ran, failed, skipped, excused;

        Outcome(String name) {
            this.name = name;
        }

        /** Runs them, prints a line, and says whether all is well. */
        boolean run(PrintStream out) {
            this.out = out;
            long start = System.nanoTime();
            Launcher launcher = LauncherFactory.create();
            LauncherDiscoveryRequest all = request(selectClass(name));
            launcher.execute(FIRST ? first(launcher.discover(all)) : all, this);
            boolean well = failed == 0 && skipped == 0 && ran + excused > 0;
            out.printf(
                    "%s: %d ran, %d failed, %d skipped, %d for the GPU in software only, %.1f s%s%n",
                    name,
                    ran,
                    failed,
                    skipped,
                    excused,
                    (System.nanoTime() - start) / 1e9,
                    well ? "" : ran + excused == 0 ? " NOTHING RAN" : " NOT WELL");
            return well;
        }

        private static LauncherDiscoveryRequest request(DiscoverySelector... selectors) {
            return LauncherDiscoveryRequestBuilder.request()
                    .selectors(selectors)
                    .build();
        }

        /** One method of a class: a plain test, or else all rows of a parameterized one. */
        private static LauncherDiscoveryRequest first(TestPlan plan) {
            return request(plan.getRoots().stream()
                    .flatMap(root -> plan.getDescendants(root).stream())
                    .filter(test -> test.getSource().orElse(null) instanceof MethodSource)
                    .min(Comparator.comparing(TestIdentifier::isContainer).thenComparing(TestIdentifier::getUniqueId))
                    .map(test -> new DiscoverySelector[] {selectUniqueId(test.getUniqueId())})
                    .orElse(new DiscoverySelector[0]));
        }

        @Override
        public void executionSkipped(TestIdentifier test, String reason) {
            skip(test, reason);
        }

        @Override
        public void executionFinished(TestIdentifier test, TestExecutionResult result) {
            String why = result.getThrowable().map(Throwable::getMessage).orElse("");
            switch (result.getStatus()) {
                case SUCCESSFUL -> ran += test.isTest() ? 1 : 0;
                case ABORTED -> skip(test, why);
                case FAILED -> {
                    ran += test.isTest() ? 1 : 0;
                    failed++; // a container, too: its tests did not run
                    out.println("FAILED " + name + ", " + test.getDisplayName());
                    Optional<Throwable> cause = result.getThrowable();
                    cause.ifPresent(thrown -> thrown.printStackTrace(out));
                }
            }
        }

        private void skip(TestIdentifier test, String why) {
            if (why != null && why.endsWith(SOFT_ONLY)) {
                excused++;
                return;
            }
            skipped++;
            out.println("SKIPPED " + name + ", " + test.getDisplayName() + ": " + why);
        }
    }
}
