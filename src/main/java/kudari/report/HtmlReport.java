package kudari.report;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;

/** The page: one file with its styles, its script, the chart library and the data inside, that asks the network for nothing. */
final class HtmlReport {

    /** Where the webjar keeps the build of ECharts that has lines, axes and tooltips; the version is the one in pom.xml. */
    private static final String ECHARTS = "/META-INF/resources/webjars/echarts/5.5.0/echarts.common.min.js";

    private HtmlReport() {}

    /** Throws if ECharts is not there. */
    static void checkDependency() {
        if (HtmlReport.class.getResource(ECHARTS) == null)
            throw new UnsupportedOperationException("a report needs org.webjars:echarts:5.5.0 on the class path");
    }

    static String of(Comparison comparison) throws IOException {
        return read("report.html")
                .replace("{{style}}", read("report.css"))
                .replace("{{charts}}", read(ECHARTS))
                .replace("{{script}}", read("report.js"))
                .replace("{{data}}", Json.page(comparison)); // last: nothing is looked for inside the data
    }

    private static String read(String name) throws IOException {
        try (InputStream resource = HtmlReport.class.getResourceAsStream(name)) {
            if (resource == null) throw new FileNotFoundException(name + " is not on the class path");
            return new String(resource.readAllBytes(), StandardCharsets.UTF_8);
        }
    }
}
